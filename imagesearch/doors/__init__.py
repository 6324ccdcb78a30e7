"""How requests come in and answers go out: the words of the doors."""
