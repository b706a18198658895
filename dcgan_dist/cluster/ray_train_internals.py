"""Names of Ray Train that Ray does not promise to keep: each with what it is for and what breaks without."""

from collections.abc import Callable
from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback, WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import Worker


def torch_backend_after(prepare: Callable[[], None]) -> type[_TorchBackend]:
    """What starts torch's process group on the ranks of a Ray Train run, after a call of `prepare` on each of them.

    Ray's public `TorchConfig` runs nothing of ours on the ranks before the group starts, and afterwards it is too late to
    choose a network card. Without this, ranks of several nodes cannot connect where a machine's own name leads to 127.0.1.1.
    """

    class PreparedBackend(_TorchBackend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            worker_group.execute(prepare)
            super().on_start(worker_group, backend_config)

    return PreparedBackend


class LeanTorchTrainer(TorchTrainer):
    """TorchTrainer without two processes that take seconds to start and have nothing to do in a run of ours.

    One serves Ray datasets. The other gives back what a killed controller had reserved, needs a dashboard, and stays until
    Ray ends: `capacity.release_abandoned_groups` does without. No public setting leaves them out.
    """

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        unused = (DatasetsCallback, PlacementGroupCleanerCallback)
        callbacks = super()._create_default_callbacks()
        return [*(callback for callback in callbacks if not isinstance(callback, unused)), NoDatasets()]


class NoDatasets(WorkerGroupCallback):
    """Tells ranks that there are no Ray datasets."""

    def before_init_train_context(self, workers: list[Worker]) -> dict[str, list[Any]]:
        """Argument of each rank's context by name."""
        return {"dataset_shard_provider": [None] * len(workers)}
