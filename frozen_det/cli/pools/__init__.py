"""Commands about pools of images without labels."""
