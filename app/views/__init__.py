"""What is on the screen, a file for each part, which is told what to show."""
