"""Random streams, augmentation and minibatches: bit for bit what torchvision and a DataLoader draw."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler
from torchvision.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor

from foresight_ext.images.augmentation import Augmentation
from foresight_ext.images.batches import VALIDATION_STREAMS, BatchDraws, draw_pass, draw_validation_pass
from foresight_ext.images.datasets import ImageData
from foresight_ext.randomness import RandomStreams, seeded

CPU = torch.device("cpu")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# style: ours, torchvision's in its order
STYLES = {
    "cifar": (Augmentation(32), [RandomCrop(32, padding=4), RandomHorizontalFlip()]),
    "digits": (Augmentation(32, flip=False), [RandomCrop(32, padding=4)]),
    "imagenet16": (
        Augmentation(16, padding=2, flip_first=True),
        [RandomHorizontalFlip(), RandomCrop(16, padding=2)],
    ),
    # a crop without freedom draws nothing
    "flip only": (Augmentation(8, padding=0), [RandomCrop(8), RandomHorizontalFlip()]),
}
in_every_style = pytest.mark.parametrize("style", STYLES)


class Pictures(Dataset):
    """Random images for torchvision's transforms, and the same as ImageData."""

    def __init__(self, style, count):
        augmentation, transforms = STYLES[style]
        side = augmentation.size
        self.pixels = np.random.RandomState(0).randint(0, 256, (count, side, side, 3), dtype=np.uint8)
        self.transform = Compose([*transforms, ToTensor(), Normalize(MEAN, STD)])
        self.images = torch.from_numpy(self.pixels).permute(0, 3, 1, 2).contiguous()
        labels = torch.arange(count) * 7 % 10
        self.data = ImageData(style, 10, labels, self.images.__getitem__, MEAN, STD, augmentation)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.pixels[index])), int(self.data.labels[index])

    def loader(self, images, batch_size, workers=0):
        """The official loader over the first images."""
        return DataLoader(
            self,
            batch_size=batch_size,
            sampler=SubsetRandomSampler(range(images)),
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )


def assert_same_batch(batch, official):
    inputs, targets = official
    assert batch.inputs.dtype == torch.float32
    assert torch.equal(batch.inputs, inputs)
    assert torch.equal(batch.targets, targets)


@in_every_style
def test_augmentation_is_torchvisions(style):
    pictures = Pictures(style, 12)
    augmentation = pictures.data.augmentation
    indices = torch.tensor([3, 11, 0, 3, 7, 5, 1, 2, 4, 10])
    before = pictures.images.clone()
    seen = []
    for seed in range(60):
        torch.manual_seed(seed)
        expected = torch.stack([pictures[index][0] for index in indices])
        after = torch.get_rng_state()
        torch.manual_seed(seed)
        draws = augmentation.draw(len(indices))
        assert torch.equal(torch.get_rng_state(), after)
        batch = pictures.data.render(BatchDraws(indices, draws), CPU)
        assert_same_batch(batch, (expected, pictures.data.labels[indices]))
        assert torch.equal(torch.get_rng_state(), after)
        seen.append(draws)
    assert torch.equal(pictures.images, before)
    top, left, flip = torch.cat(seen).unbind(1)
    assert top.unique().tolist() == left.unique().tolist() == list(range(2 * augmentation.padding + 1))
    assert flip.unique().tolist() == ([0, 1] if augmentation.flip else [0])


def test_draws_of_no_image():
    before = torch.get_rng_state()
    assert Augmentation(32).draw(0).shape == (0, 3)
    assert torch.equal(torch.get_rng_state(), before)


@in_every_style
def test_a_new_pass_for_each_batch(style):
    """As NAS-Bench-201's search takes them: next(iter(loader)) over the first half, alphas drawn between."""
    pictures = Pictures(style, 50)
    loader = pictures.loader(25, 8)
    torch.manual_seed(1)
    official, alphas = [], []
    for _ in range(6):
        official.append(next(iter(loader)))
        alphas.append(torch.randn(6, 5))
    after = torch.get_rng_state()
    torch.manual_seed(1)
    for expected, drawn_between in zip(official, alphas):
        draws = next(draw_pass(25, 8, pictures.data.augmentation))
        assert_same_batch(pictures.data.render(draws, CPU), expected)
        assert torch.equal(torch.randn(6, 5), drawn_between)
    assert torch.equal(torch.get_rng_state(), after)


@in_every_style
@pytest.mark.parametrize(("images", "batch_size"), [(50, 8), (24, 8), (5, 8)])
def test_a_whole_pass(style, images, batch_size):
    pictures = Pictures(style, 50)
    torch.manual_seed(2)
    official = [(batch, torch.get_rng_state()) for batch in pictures.loader(images, batch_size)]
    after = torch.get_rng_state()
    torch.manual_seed(2)
    indices = []
    for expected, state in official:
        if not indices:
            batches = draw_pass(images, batch_size, pictures.data.augmentation)
        draws = next(batches)
        assert torch.equal(torch.get_rng_state(), state)
        assert_same_batch(pictures.data.render(draws, CPU), expected)
        indices.append(draws.indices)
    assert next(batches, None) is None
    assert torch.equal(torch.get_rng_state(), after)
    assert len(indices[-1]) == (images % batch_size or batch_size)
    assert torch.cat(indices).sort().values.tolist() == list(range(images))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize(
    ("style", "images", "batch_size"),
    [
        ("cifar", 93, 9),  # 11 batches, the last of 3 images
        ("imagenet16", 64, 8),  # two batches for each worker
        ("digits", 20, 8),  # fewer batches than workers
    ],
)
def test_a_validation_pass_is_a_loader_with_four_workers(style, images, batch_size):
    pictures = Pictures(style, 100)
    loader = pictures.loader(images, batch_size, workers=4)
    torch.manual_seed(3)
    passes = [list(loader), list(loader)]
    after = torch.get_rng_state()
    torch.manual_seed(3)
    for official in passes:
        drawn = draw_validation_pass(images, batch_size, pictures.data.augmentation)
        assert len(drawn) == len(official) == -(-images // batch_size)
        for draws, expected in zip(drawn, official):
            assert_same_batch(pictures.data.render(draws, CPU), expected)
    assert torch.equal(torch.get_rng_state(), after)
    assert VALIDATION_STREAMS == 4


def test_streams_continue_those_of_manual_seed():
    torch.manual_seed(5)
    # single normal numbers come in pairs, of which the generator keeps the second
    expected = [torch.randn(1).item() for _ in range(5)] + torch.randperm(9).tolist()
    np.random.seed(5)
    choices = [np.random.choice(6), *np.random.permutation(6), np.random.rand()]

    torch.manual_seed(77)
    np.random.seed(77)
    torch.randn(1)
    outside, numpys = torch.get_rng_state(), np.random.get_state()
    streams = RandomStreams(5)
    drawn = []
    for _ in range(5):
        with streams.torch():
            drawn.append(torch.randn(1).item())
        assert torch.equal(torch.get_rng_state(), outside)
    with streams.torch():
        drawn += torch.randperm(9).tolist()
    assert drawn == expected
    assert [streams.numpy.choice(6), *streams.numpy.permutation(6), streams.numpy.rand()] == choices
    assert torch.equal(torch.get_rng_state(), outside)
    assert all(np.array_equal(*pair) for pair in zip(np.random.get_state(), numpys))


def test_what_is_drawn_outside_changes_no_stream():
    torch.manual_seed(6)
    expected = torch.rand(4)
    streams = RandomStreams(6)
    drawn = []
    for _ in range(4):
        torch.rand(3)
        torch.manual_seed(0)
        with streams.torch():
            drawn.append(torch.rand(1))
    assert torch.equal(torch.cat(drawn), expected)


def test_an_exception_leaves_the_outer_generator_untouched():
    torch.manual_seed(6)
    expected = torch.rand(4)
    streams = RandomStreams(6)
    outside = torch.get_rng_state()
    drawn = []
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt), streams.torch():
            drawn.append(torch.rand(1))
            raise KeyboardInterrupt
        assert torch.equal(torch.get_rng_state(), outside)
        with pytest.raises(ZeroDivisionError), seeded(1):
            torch.rand(1)
            raise ZeroDivisionError
        assert torch.equal(torch.get_rng_state(), outside)
    assert torch.equal(torch.cat(drawn), expected)


def test_seeded():
    torch.manual_seed(8)
    expected = torch.randn(3)
    torch.manual_seed(9)
    outside = torch.get_rng_state()
    for _ in range(2):
        with seeded(8):
            assert torch.equal(torch.randn(3), expected)
        assert torch.equal(torch.get_rng_state(), outside)
