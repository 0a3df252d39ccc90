"""One recurrent cell a file, each a short module over a kernel."""
