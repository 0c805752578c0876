"""The handlers of the routes, a file for each thing that they are about."""
