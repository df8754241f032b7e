"""`synflow_bn`: synflow with the network's batch norms kept."""

from foresight_ext.measures.synflow import Synflow

PROXY = Synflow("synflow_bn", keep_batch_norms=True)
