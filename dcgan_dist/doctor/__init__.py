"""What is wrong with this machine, its cluster and its servers: python -m dcgan_dist.doctor."""
