"""Floor 3, the roof: fusion, search, build, command line. May import every room."""
