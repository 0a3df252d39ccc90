"""What a system makes of negated questions and of passages that were written to be found."""
