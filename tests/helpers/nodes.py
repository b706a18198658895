"""A cluster of several raylets on this machine, with files of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.helpers.processes import wait_for_rank


@contextmanager
def local_cluster(nodes: int) -> Iterator[Any]:
    """A head and other nodes, so many in all, of one CPU each; yields ray's Cluster."""
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster
    from ray.experimental import internal_kv

    # The end of the cluster would take this away from the Ray that the tests share.
    shared = internal_kv.global_gcs_client
    # Cluster notes its address there, and takes for granted that Ray was started on this machine before.
    Path(get_ray_address_file(None)).parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="dc", dir="/tmp")  # short: sockets lie below it
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
    )
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()
        if shared is not None:
            internal_kv._initialize_internal_kv(shared)
        shutil.rmtree(folder, ignore_errors=True)


def node_with_a_rank(cluster: Any) -> Any:
    """A node other than the head on which a rank runs."""
    return wait_for_rank(
        lambda: [
            (node, psutil.Process(node.all_processes["raylet"][0].process.pid))
            for node in cluster.list_all_nodes()
            if node is not cluster.head_node
        ]
    )
