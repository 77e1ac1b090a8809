"""Built-in generators and discriminators."""
