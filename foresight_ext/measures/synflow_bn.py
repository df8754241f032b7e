"""`synflow_bn`: synflow with the network's batch norms kept."""

from foresight_ext.measures import PROXIES
from foresight_ext.measures.synflow import Synflow

PROXIES.register("synflow_bn", Synflow(keep_batch_norms=True))
