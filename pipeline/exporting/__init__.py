"""What tamis holds, in the formats that other retrieval tools read."""
