"""What the routes do, a file for each thing that they are about."""
