"""What a supernet is, the NASWOT kernel, and what spaces' fast forms are built of."""
