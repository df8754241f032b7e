"""`epe_nas`: how the output depends on images of one class, class by class."""

import math

from torch import Tensor, nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.jacob_cov import image_gradients
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.spectra import correlation

_K = 1e-5
_MANY = 100  # classes: with more of them they are compared with each other


class EpeNAS(Proxy):
    """The sum over classes of |s|, s a class's sum of log(|r| + k), k = 1e-5.

    r are the entries of the correlation matrix of the gradients of the summed outputs with respect to the
    images of that class. With more than 100 outputs s is a row's mean, classes of one image are left out, and
    the score is the sum over ordered pairs of classes of |s - s'| by the number of classes. Labels; in the
    mode the network is in; one forward and one backward pass. NaN where an image has no gradient, or one that
    is the same everywhere, and where no class is left.
    """

    name = "epe_nas"
    source = "Lopes, Alirezazadeh and Alexandre 2021 (EPE-NAS); White et al. 2021 (NASLib)"
    needs_labels = True
    needs_gradients = True

    def score(self, network: nn.Module, batch: Batch) -> float:
        jacobian, outputs = image_gradients(network, batch.inputs)
        return class_score(jacobian, batch.targets, outputs > _MANY)


def images_by_class(targets: Tensor) -> list[list[int]]:
    """The places of the images of each class among the labels (B), in the order of the classes."""
    labels = targets.tolist()
    return [[place for place, one in enumerate(labels) if one == label] for label in sorted(set(labels))]


def class_score(jacobian: Tensor, targets: Tensor, many: bool) -> float:
    """EPE-NAS's score of gradients (B x D) of images with some labels (B); `many`: of many classes."""
    sums = []
    for places in images_by_class(targets):
        rows = jacobian[places]
        if not (many and len(rows) == 1):
            total = float((correlation(rows).abs() + _K).log().sum())
            sums.append(total / len(rows) if many else total)
    if not sums:
        return math.nan
    if many:
        return sum(abs(one - other) for one in sums for other in sums) / len(sums)
    return sum(map(abs, sums))


PROXY = EpeNAS()
