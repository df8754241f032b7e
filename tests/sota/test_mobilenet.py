"""The MobileNet-like space: golden values of the official code, genotypes, and its commands."""

import json
import re
from pathlib import Path

import pytest
import torch

from foresight_ext.choices.supernet import NetworkSupernet
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.search.scoring import operation_scores
from foresight_ext.supernets.supernet import remove
from foresight_ext.training import run as training
from sota.mobilenet import genotypes, networks_proposal, train, visualize
from sota.mobilenet.genotype import LAYERS, candidates, format_genotype, parse_genotype
from sota.mobilenet.genotypes import ARCHITECTURES, find_genotype
from sota.mobilenet.network import MobileNet
from sota.mobilenet.space import MobileNetSpace
from tests.conftest import golden
from tests.running import class_folders, done, read, refused
from tests.sota.steps import follow

OWN = json.loads((Path(__file__).parent / "golden_chains.json").read_text())["mobilenet"]
JACOB = PROXIES.get("jacob")
TINY = [
    "--width=0.02",
    "--batch_size=4",
    "--pool_size=1",
    "--validate_rounds=1",
    "--device=cpu",
    "--threads=1",
]


def images(seed, batch=8, size=64):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def seeded_supernet(seed, classes=10):
    """As the golden values have it, with 10 classes."""
    torch.manual_seed(seed)
    return NetworkSupernet(MobileNet(classes), softmax=False)


def sum_of(network):
    return sum(parameter.detach().double().sum().item() for parameter in network.parameters())


def numbers_of(kernel):
    """The score, and the diagonal of K, whose entries are all the same."""
    [diagonal] = set(kernel.matrix().diagonal().tolist())
    return float(kernel.log_det()), diagonal


# ---- golden values


@pytest.mark.parametrize("index", [0, 1])
def test_official_supernet_scores(index):
    case = golden("mobilenet_scores.json")["supernet"][index]
    supernet, x = seeded_supernet(case["seed"]), images(5000 + case["seed"])
    assert sum_of(supernet) == pytest.approx(case["checksums"]["param_sum"], rel=1e-9)
    full = supernet.new_mixing()
    for layer, expected in case["undecided"].items():
        mixings = [remove(full, int(layer), candidate) for candidate in range(len(full[int(layer)]))]
        found = [numbers_of(kernel) for kernel in supernet.kernels(x, mixings, JACOB.new_kernel)]
        assert [score for score, _ in found] == pytest.approx(expected["score_float64"], rel=1e-5)
        assert [diagonal for _, diagonal in found] == expected["K_diagonal"]


def test_official_supernet_has_1000_classes_whatever_the_data_set():
    expected = golden("mobilenet_scores.json")["supernet"][0]["checksums_with_n_class_1000"]
    torch.manual_seed(0)
    supernet = MobileNetSpace().build_supernet(10)
    assert sum_of(supernet) == pytest.approx(expected["param_sum"], rel=1e-9)


def test_official_scores_of_large_images():
    """K lies above 2^24 there, where the official float32 sum is inexact."""
    [case] = golden("mobilenet_scores.json")["large_input"]
    supernet, x = seeded_supernet(case["seed"]), images(5500, case["batch"], 224)
    expected, full = case["undecided"]["20"], supernet.new_mixing()
    mixings = [remove(full, 20, candidate) for candidate in (1, 4)]
    found = [numbers_of(kernel) for kernel in supernet.kernels(x, mixings, JACOB.new_kernel)]
    exact = [expected["exact_K_float64"][candidate] for candidate in (1, 4)]
    assert [score for score, _ in found] == pytest.approx(exact, rel=1e-6)
    assert [diagonal for _, diagonal in found] == [expected["exact_K_diagonal"][one] for one in (1, 4)]


@pytest.mark.parametrize("index", range(4), ids=["random0", "order", "reverse", "random1"])
def test_official_discretisation(index):
    case = golden("mobilenet_scores.json")["discretisation"][index]
    first = int(re.search(r"manual_seed\((\d+)\+i\)", case["inputs"])[1])
    supernet = seeded_supernet(case["seed"])
    found = follow(supernet, supernet.new_mixing(), case, case["order"], lambda step: images(first + step))
    assert MobileNetSpace().genotype(found) == case["genotype_string"]


@pytest.mark.parametrize("index", [0, 1])
def test_official_networks(index):
    case = golden("mobilenet_scores.json")["networks"][index]
    torch.manual_seed(case["seed"])
    network = MobileNetSpace().build_network(format_genotype(case["genotype"]), 10)
    assert sum_of(network) == pytest.approx(case["param_sum"], rel=1e-9)
    x = images(7000 + case["seed"])
    assert JACOB.score(network, Batch(x, torch.zeros(8))) == pytest.approx(case["score_float64"], rel=1e-5)
    assert network.eval()(x)[0].tolist() == pytest.approx(case["output_row0"], abs=1e-5)


def test_own_golden_scores():
    supernet = seeded_supernet(OWN["seed"])
    batch = Batch(images(OWN["images"], OWN["batch"]), torch.zeros(OWN["batch"]))
    for layer, expected in OWN["removal"].items():
        found = operation_scores(JACOB, supernet, supernet.new_mixing(), [int(layer)], batch)
        assert found[int(layer)] == pytest.approx(expected, rel=1e-5)
    torch.manual_seed(OWN["seed"])
    network = MobileNetSpace().build_network(OWN["network"]["genotype"], 10)
    batch = batch._replace(inputs=images(OWN["network"]["images"], OWN["batch"]))
    assert JACOB.score(network, batch) == pytest.approx(OWN["network"]["score"], rel=1e-5)


# ---- the space


def test_nothing_is_drawn_between_members():
    space = MobileNetSpace(width=0.02)
    _, mixing = space.begin(10)
    assert mixing == tuple((1.0,) * len(candidates(layer)) for layer in range(len(LAYERS)))
    state = torch.get_rng_state()
    assert space.after_member(mixing, None) == mixing
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [32, 45, 64])
def test_any_square_size_from_32_pixels_on(size):
    space, x = MobileNetSpace(width=0.02), torch.randn(2, 3, size, size)
    supernet, mixing = space.begin(10)
    assert supernet(x, mixing).shape == (2, 1000)
    for text in ARCHITECTURES.values():
        assert space.build_network(text, 7)(x).shape == (2, 7)


def test_a_decided_supernet_is_the_network():
    space = MobileNetSpace(width=0.05)
    torch.manual_seed(0)
    supernet, _ = space.begin(10)
    kept = [number % (len(candidates(layer))) for layer, number in enumerate(range(21))]
    mixing = tuple(
        tuple(float(index == kept[layer]) for index in range(len(candidates(layer)))) for layer in range(21)
    )
    network = space.build_network(space.genotype(mixing), 1000)
    for layer, number in enumerate(kept):
        network.layers[layer] = supernet.network.layers[layer].candidates[number]
    for part in ("stem", "first", "head", "classifier"):
        setattr(network, part, getattr(supernet.network, part))
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(supernet.eval()(x, mixing), network.eval()(x))


# ---- genotypes


def test_genotypes_as_people_write_them():
    text = "1 -1 4 2 5 0 -1 3 2 2 -1 -1 3 5 1 -1 0 4 -1 1 5"
    assert format_genotype(parse_genotype(text)) == text
    assert MobileNetSpace().read_genotype(f"[{text.replace(' ', ', ')}]") == text
    assert find_genotype(text) == ("genotype", text)
    assert find_genotype("largest") == ("largest", " ".join(["5"] * 21))
    assert all(format_genotype(parse_genotype(one)) == one for one in ARCHITECTURES.values())


@pytest.mark.parametrize(
    "text, told",
    [
        ("1 2 3", "architecture '1 2 3' does not parse: it must be 21 whole numbers"),
        ("a " * 21, "it must be 21 whole numbers"),
        ("-1 " + "1 " * 20, "layer 0 is -1: it must be from 0 to 5"),
        ("1 6 " + "1 " * 19, "layer 1 is 6: it must be from -1 to 5"),
    ],
)
def test_malformed_genotypes_name_the_fault(text, told):
    with pytest.raises(UserError, match=re.escape(told)):
        MobileNetSpace().read_genotype(text)


def test_unknown_architectures_are_told_with_the_known_ones(tmp_path):
    told = refused(visualize.main, "largst")
    assert told.startswith("'largst' is neither an architecture of sota/mobilenet/genotypes.py (largest) nor")
    told = refused(visualize.main, "largest", "--id=3")
    assert told == "--id 3: 'largest' is one architecture; leave the option out"


# ---- commands


def test_sizes_and_drawings(tmp_path):
    """Parameters of the largest network, added up by hand from its table of layers."""
    lines = done(genotypes.main, "largest", "--classes=10")
    parameters, c_in = 3 * 40 * 9 + 2 * 40 + 40 * 9 + 2 * 40 + 40 * 24 + 2 * 24, 24
    for channels, _, _ in LAYERS:
        width = 6 * c_in
        parameters += c_in * width + 49 * width + width * channels + 4 * width + 2 * channels
        c_in = channels
    parameters += c_in * 1728 + 2 * 1728 + 1728 * 10 + 10
    assert lines[-1].split()[:2] == ["largest", f"{parameters / 1e6:.3f}"]
    out = tmp_path / "chain.svg"
    lines = done(visualize.main, "smallest", f"--out={out}")
    assert "  layer1  <-- identity -- layer0" in lines
    assert lines[-1] == f"wrote {out}"


def test_images_in_class_folders_are_searched_at_their_size_and_trained_on(tmp_path):
    for split in ("train", "val"):
        class_folders(tmp_path / "images" / split, (50, 60))
    arguments = ["--dataset=folder", "--image_size=48", f"--data={tmp_path / 'images'}", f"--out={tmp_path}"]
    arguments += [*TINY, "--no_skip_training", "--epochs=1", "--train_batch_size=4"]
    lines = done(networks_proposal.main, *arguments)
    folder = tmp_path / "mobilenet/zerocostpt-seed0-folder-jacob-random"
    assert lines[-1] == f"run: {folder}/training"
    assert read(folder, "config.json")["settings"]["image_size"] == 48
    genotype = read(folder, "best_networks.json")["networks"]
    assert read(folder, "training/result.json")["genotype"] == genotype
    assert (folder / "mobilenet.svg").is_file()


def test_imagenet_is_searched_on_all_images(tmp_path):
    for split in ("train", "val"):
        class_folders(tmp_path / "images" / split, (50, 60))
    arguments = [
        "--dataset=imagenet",
        "--image_size=32",
        f"--data={tmp_path / 'images'}",
        f"--out={tmp_path}",
    ]
    lines = done(networks_proposal.main, *arguments, *TINY, "--batch_size=9")
    assert "search: minibatches have 12 images" not in " ".join(lines)
    settings = read(tmp_path / "mobilenet/zerocostpt-seed0-imagenet-jacob-random", "config.json")["settings"]
    assert (settings["dataset"], settings["crop_size"]) == ("imagenet", 32)


def test_mistakes_of_data_sets_are_told(tmp_path):
    told = refused(networks_proposal.main, "--dataset=imagenet", "--mean=0,0,0", f"--out={tmp_path / 'out'}")
    assert told == "--mean goes with --dataset folder only, not imagenet"
    told = refused(networks_proposal.main, "--dataset=imgnet")
    assert told.startswith("argument --dataset: unknown data set 'imgnet': ") and told.endswith(", imagenet")
    assert not (tmp_path / "out").exists()


def test_the_recipe_is_imagenets_by_default(tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr(training, "train", lambda job, *settings: jobs.append(job) or {})
    done(train.main, "--arch=all_3x3_6", f"--out={tmp_path}")
    [job] = jobs
    recipe = job.spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.decay) == (250, 128, 0.1, 0.97)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.grad_clip) == (3e-5, 0.1, 5)
    assert (recipe.cutout_length, recipe.drop_path_prob) == (0, 0)
    assert job.genotype == ARCHITECTURES["all_3x3_6"]
    assert job.path == tmp_path / "training/eval-all_3x3_6-seed0-cifar10"
