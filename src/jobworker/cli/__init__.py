"""``jobctl``: one file a verb. Nothing is imported that the verb at hand does not need."""
