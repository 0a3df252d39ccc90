"""What is a passage worth before anybody asks? One quality model a file, controls included."""
