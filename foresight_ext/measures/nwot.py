"""`nwot`: log-determinant of the NASWOT kernel as the paper defines it, every ReLU counted once."""

from foresight_ext.measures.jacob import KernelProxy

PROXY = KernelProxy("nwot", count_blocks=False)
