"""A data set of one's own as the images of a search: a torchvision-style one, a DataLoader, or tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, default_collate

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch, BatchDraws, checked_pair, digest, seed_of
from foresight_ext.randomness import repeated

_IMAGES = "images"  # as the argument is called


class _Unaugmented:
    """The images come as the data set gives them."""

    def __init__(self, size: int):
        self.size = size

    def draw(self, count: int) -> Tensor:
        return torch.empty(count, 0)


class OwnImages:
    """Minibatches of items that `dataset` gives by their numbers; what its transforms draw depends on these.

    UserError (when it is made, or for a minibatch) if the items are no pairs of a tensor and a label.
    """

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any] = default_collate):
        self.dataset = dataset
        self.collate = collate
        if len(self) == 0:
            raise UserError(f"{_IMAGES}: the data set is empty")
        one = self._batch(torch.tensor([0]), torch.device("cpu")).inputs
        self.augmentation = _Unaugmented(one.shape[-1] if one.dim() > 1 else 1)
        channels = one.shape[1] if one.dim() > 1 else 1
        self.mean, self.std = (0.0,) * channels, (1.0,) * channels  # the data set has normalised them, if any
        self.shape = tuple(one.shape[1:])

    @classmethod
    def of(cls, images: Any) -> tuple["OwnImages", int | None]:
        """The images that are given, and how many a minibatch has where they say it.

        UserError if they are none of: a map-style data set, a DataLoader of one, a pair of tensors.
        """
        if isinstance(images, DataLoader):
            if isinstance(images.dataset, IterableDataset) or images.batch_size is None:
                raise UserError(
                    f"{_IMAGES}: a DataLoader must have a batch_size and a data set with a length and items "
                    "by number"
                )
            return cls(images.dataset, images.collate_fn), images.batch_size
        if isinstance(images, Sequence) and len(images) == 2 and isinstance(images[0], Tensor):
            return cls(TensorDataset(*checked_pair(images[0], images[1], _IMAGES))), None
        if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
            kind = type(images).__name__
            raise UserError(f"{_IMAGES}: {kind} is no data set, DataLoader or pair of images and labels")
        return cls(images), None

    @property
    def classes(self) -> int:
        """How many classes the labels have, as far as the data set tells; else 0."""
        dataset = self.dataset
        while isinstance(dataset, Subset):
            dataset = dataset.dataset
        names = getattr(dataset, "classes", None)
        if names is not None:
            return len(names)
        if isinstance(dataset, TensorDataset):
            labels: Any = dataset.tensors[1]
        else:
            labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
        return 0 if labels is None else int(torch.as_tensor(labels).max()) + 1

    def __len__(self) -> int:
        return len(self.dataset)

    def described(self) -> dict[str, Any]:
        return {"images": len(self), "shape": list(self.shape), "digest": digest([repr(self.shape)])}

    def render(self, draws: BatchDraws, device: torch.device) -> Batch:
        return self._batch(draws.indices, device)

    def unaugmented(self, indices: Tensor, device: torch.device) -> Batch:
        return self._batch(indices, device)

    def _batch(self, indices: Tensor, device: torch.device) -> Batch:
        seed = seed_of(indices)
        with repeated(seed):
            items = [self.dataset[index] for index in indices.tolist()]
        try:
            pair = self.collate(items)
        except (TypeError, RuntimeError) as error:
            raise UserError(f"{_IMAGES}: {self._told(items[0])}, which make no minibatch: {error}") from error
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise UserError(f"{_IMAGES}: {self._told(items[0])}: they must be pairs of an image and a label")
        inputs, targets = checked_pair(pair[0], pair[1], _IMAGES)
        return Batch(inputs.to(device), targets.to(device), seed, self)

    @staticmethod
    def _told(item: Any) -> str:
        if isinstance(item, tuple | list):
            kinds = ", ".join(type(part).__name__ for part in item)
            return f"the data set's items are ({kinds})"
        return f"the data set's items are of the kind {type(item).__name__}"
