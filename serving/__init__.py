"""What is published, for those who read it elsewhere."""
