"""Architectures against the counts and formulas of their papers."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.zoo.registry import NETWORKS, build
from losscape_mpi.problem.zoo.resnet import PadShortcut

CIFAR, DIGITS = (3, 32, 32), (1, 8, 8)

# Recomputed independently of any code, 10 classes, 32 x 32 images.
PARAMETERS = {
    "resnet20": 272_474,
    "resnet32": 466_906,
    "resnet44": 661_338,
    "resnet56": 855_770,
    "resnet110": 1_730_714,
    "resnet20_noshort": 269_722,
    "resnet32_noshort": 464_154,
    "resnet44_noshort": 658_586,
    "resnet56_noshort": 853_018,
    "resnet110_noshort": 1_727_962,
    "resnet20_a": 269_722,
    "resnet32_a": 464_154,
    "resnet44_a": 658_586,
    "resnet56_a": 853_018,
    "resnet110_a": 1_727_962,
    "wrn56_2": 3_412_394,
    "wrn56_4": 13_628_234,
    "wrn56_8": 54_470_282,
    "wrn56_2_noshort": 3_401_770,
    "wrn56_4_noshort": 13_586_506,
    "wrn56_8_noshort": 54_304_906,
    "wrn110_2": 6_904_106,
    "wrn110_4": 27_578_954,
    "wrn110_2_noshort": 6_893_482,
    "wrn110_4_noshort": 27_537_226,
    "resnet50_16_noshort": 755_802,
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "resnet101": 42_512_970,
    "resnet152": 58_156_618,
    "resnet18_noshort": 11_000_138,
    "resnet34_noshort": 21_108_298,
    "resnet50_noshort": 20_744_266,
    "resnet101_noshort": 39_736_394,
    "resnet152_noshort": 55_380_042,
    "vgg9": 2_789_706,
    "densenet121": 6_956_298,
    "allcnn9_plain": 609_216,
    "allcnn9_bn": 1_370_976,
    "allcnn9_lrn": 1_368_480,
    "c1": 1_756_682,
    "c2": 1_148_746,
    "lenet5": 61_706 + 2 * 6 * 25,  # 61,706 on one channel
    "mlp": (3 * 32 * 32 + 1) * 100 + 101 * 100 + 101 * 10,
    "logistic": (3 * 32 * 32 + 1) * 10,
}
MILLION_MULTIPLICATIONS = {  # as many digits as the source gives
    "resnet20": "40.8",
    "resnet32_noshort": "68.9",
    "resnet44_noshort": "97.2",
    "resnet56": "125.7",
    "resnet110": "253",
    "wrn56_2": "502",
    "wrn56_4": "2007",
    "wrn56_8": "8023",
    "wrn110_2_noshort": "1011",
    "wrn110_4_noshort": "4041",
    "resnet50_16_noshort": "111",
    "resnet18": "555",
    "resnet34": "1159",
    "resnet50": "1298",
    "resnet101": "2510",
    "resnet152": "3722",
    "vgg9": "191.6",
    "densenet121": "888.4",
}


def on_meta(name, input_shape=CIFAR):
    with torch.device("meta"):
        return build(name, input_shape, 10)


def count_multiplications(network, images):
    total = 0

    def add(module, _inputs, output):
        nonlocal total
        per_output = math.prod(module.weight.shape[1:])
        total += per_output * output[0].numel()

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
    network(images)
    return total


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters_is_the_published_one(name):
    assert sum(p.numel() for p in on_meta(name).parameters()) == PARAMETERS[name]


def test_every_network_of_the_zoo_has_its_count_tested():
    assert set(NETWORKS) == set(PARAMETERS) | {"digits_resnet"}


@pytest.mark.parametrize("name", MILLION_MULTIPLICATIONS)
def test_number_of_multiplications_is_the_published_one(name):
    want = MILLION_MULTIPLICATIONS[name]
    decimals = len(want.partition(".")[2])
    got = count_multiplications(on_meta(name).eval(), torch.empty(1, *CIFAR, device="meta"))
    assert f"{got / 1e6:.{decimals}f}" == want


def test_digits_network_has_the_layers_of_its_definition():
    network = build("digits_resnet", DIGITS, 10)
    stem, linear = 9 * 8 + 2 * 8, 32 * 10 + 10
    stage1 = 2 * 9 * 8 * 8 + 4 * 8
    stage2 = 9 * 8 * 16 + 9 * 16 * 16 + 8 * 16 + 6 * 16
    stage3 = 9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 6 * 32
    count = sum(p.numel() for p in network.parameters())
    assert count == stem + stage1 + stage2 + stage3 + linear == 19_810
    assert network.layer3(network.layer2(torch.zeros(2, 8, 8, 8))).shape == (2, 32, 2, 2)


@pytest.mark.parametrize(
    ("name", "args", "want"),
    [
        ("mlp", {"layers": 1, "width": 5}, 3 * 5 + 6 * 3),
        ("mlp", {"layers": 5, "width": 20}, 3 * 20 + 4 * 21 * 20 + 21 * 3),
        ("mlp", {"layers": 0}, 3 * 3),
        ("logistic", {}, 3 * 3),
    ],
)
def test_mlp_on_points_has_the_asked_layers(name, args, want):
    network = build(name, (2,), 3, **args)
    assert sum(p.numel() for p in network.parameters()) == want
    assert network(torch.zeros(4, 2)).shape == (4, 3)


def test_mlp_is_the_composition_of_its_matrices():
    network = build("mlp", (1, 2, 2), 3, layers=2, width=5).double()
    p = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    samples = torch.randn(6, 1, 2, 2, dtype=torch.float64)
    want = samples.reshape(6, 4).numpy()
    for i in range(2):
        want = (want @ p[f"hidden.{i}.weight"].T + p[f"hidden.{i}.bias"]).clip(min=0)
    want = want @ p["linear.weight"].T + p["linear.bias"]
    assert torch.allclose(network(samples), torch.from_numpy(want), rtol=1e-12, atol=1e-14)


def test_option_a_shortcut_keeps_every_second_pixel_and_adds_equal_zero_channels():
    x = torch.randn(2, 4, 5, 6)
    got = PadShortcut(extra_planes=4, stride=2)(x)
    want = torch.zeros(2, 8, 3, 3)
    for channel in range(4):
        want[:, channel + 2] = x[:, channel, [0, 2, 4]][:, :, [0, 2, 4]]
    assert torch.equal(got, want)


def test_shortcut_is_what_a_block_adds():
    network = build("resnet20", CIFAR, 10).eval()
    block, x = network.layer2[0], torch.randn(2, 16, 8, 8)
    plain = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    assert torch.equal(block(x), F.relu(plain + block.shortcut(x)))
    stack = build("resnet20_noshort", CIFAR, 10).eval().layer2[0]
    plain = stack.bn2(stack.conv2(F.relu(stack.bn1(stack.conv1(x)))))
    assert torch.equal(stack(x), F.relu(plain))


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *[(name, 8) for name in ("resnet20", "resnet20_a", "resnet20_noshort", "vgg9", "mlp")],
        *[(name, 8) for name in ("allcnn9_plain", "allcnn9_bn", "allcnn9_lrn", "densenet121")],
        *[("resnet18", 8), ("resnet50", 8), ("c1", 8), ("c2", 16), ("lenet5", 32)],
    ],
)
def test_forward_is_traced_by_fx_and_keeps_inputs_and_state(name, side):
    network = build(name, (3, side, side), 10).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(2, 3, side, side)
    given = images.clone()
    first, second = network(images), network(images)
    traced = torch.fx.symbolic_trace(network)(images)
    assert torch.equal(first, second)
    assert torch.equal(first, traced)
    assert torch.equal(images, given)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("moved", ["layer2.0.shortcut.0.weight", "layer1.0.conv1.weight"])
def test_several_parameter_values_at_once_give_the_logits_of_each_alone(moved):
    network = build("digits_resnet", DIGITS, 10).eval()
    images = torch.randn(3, *DIGITS)
    stack = torch.randn(4, *network.get_parameter(moved).shape)

    def logits(value):
        return torch.func.functional_call(network, {moved: value}, (images,))

    together = torch.func.vmap(logits)(stack)
    alone = torch.stack([logits(value) for value in stack])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["digits_resnet", "vgg9", "allcnn9_plain", "c2"])
def test_initial_parameters_follow_the_2018_paper(name):
    torch.manual_seed(0)
    network = build(name, CIFAR, 10)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = math.prod(module.weight.shape[1:])
            spread = module.weight.std().item() / math.sqrt(2 / fan_in)
            assert abs(spread - 1) < 4 / math.sqrt(2 * module.weight.numel())
        if isinstance(module, nn.Linear):
            spread = module.weight.std().item() / 1e-3
            assert abs(spread - 1) < 4 / math.sqrt(2 * module.weight.numel())
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert (module.weight == 1).all()
        if getattr(module, "bias", None) is not None:
            assert (module.bias == 0).all()


def response_norm(maps):
    """Local response normalisation over all channels, alpha 1e-4, beta 0.75, k 1, in numpy."""
    half, channels = maps.shape[1] // 2, maps.shape[1]
    squares = np.pad(maps**2, ((0, 0), (half, half), (0, 0), (0, 0)))
    window = np.stack([squares[:, c : c + channels].sum(1) for c in range(channels)], 1)
    return maps / (1 + 1e-4 / channels * window) ** 0.75


def test_all_convolutional_network_without_norms_has_relu_after_1_3_5_7_and_the_class_map():
    network = build("allcnn9_plain", (3, 8, 12), 10).double()
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    images = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    out = images
    for number, conv in enumerate(convs, start=1):
        out = conv(out)
        out = out.clamp(min=0) if number in {1, 3, 5, 7, 9} else out
    assert out.shape == (2, 10, 2, 3)
    assert [conv.stride[0] for conv in convs] == [1, 1, 2, 1, 1, 2, 1, 1, 1]
    assert torch.allclose(network(images), out.sum((2, 3)) / 6, rtol=1e-12)


def test_all_convolutional_network_normalises_the_responses_after_each_relu():
    network = build("allcnn9_lrn", (3, 8, 8), 10).double()
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    out = images
    for conv in convs[:-1]:
        out = torch.from_numpy(response_norm(conv(out).clamp(min=0).detach().numpy()))
    want = convs[-1](out).clamp(min=0).mean((2, 3))
    assert torch.allclose(network(images), want, rtol=1e-10)


def test_a_dense_block_keeps_its_input_behind_what_it_adds():
    network = build("densenet121", CIFAR, 10).eval()
    x = torch.randn(2, 64, 4, 4)
    out = network.dense1(x)
    assert out.shape == (2, 64 + 6 * 32, 4, 4)
    assert torch.equal(out[:, -64:], x)
    first = network.dense1[0]
    inner = first.conv1(F.relu(first.bn1(x)))
    assert torch.equal(first(x)[:, :32], first.conv2(F.relu(first.bn2(inner))))


def test_a_bottleneck_without_shortcut_ends_without_relu():
    plain = build("resnet50_noshort", CIFAR, 10).eval().layer1[0]
    x = torch.randn(2, 64, 4, 4)
    out = plain.bn2(plain.conv2(F.relu(plain.bn1(plain.conv1(x)))))
    assert torch.equal(plain(x), plain.bn3(plain.conv3(F.relu(out))))
    assert (plain(x) < 0).any()
    block = build("resnet50", CIFAR, 10).eval().layer2[0]
    out = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(torch.ones(2, 256, 4, 4))))))
    want = F.relu(block.bn3(block.conv3(F.relu(out))) + block.shortcut(torch.ones(2, 256, 4, 4)))
    assert torch.equal(block(torch.ones(2, 256, 4, 4)), want)


def test_lenet5_on_one_channel_has_its_published_count():
    network = build("lenet5", (1, 32, 32), 10)
    assert sum(p.numel() for p in network.parameters()) == 61_706


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *[("allcnn9_bn", (1, 12, 20)), ("c1", (1, 13, 20)), ("c2", (1, 17, 20))],
        *[("lenet5", (3, 36, 33)), ("densenet121", (1, 9, 16)), ("resnet18", (1, 12, 20))],
    ],
)
def test_new_shapes_of_images_fit(name, shape):
    assert build(name, shape, 7).eval()(torch.zeros(2, *shape)).shape == (2, 7)


def test_networks_take_other_channels_and_classes():
    assert build("resnet20", (1, 28, 28), 7).eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 7)
    assert build("vgg9", (1, 28, 20), 7).eval()(torch.zeros(2, 1, 28, 20)).shape == (2, 7)


def refusal(*args, **model_args):
    with pytest.raises(UserError) as caught:
        build(*args, **model_args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"), [("resnet65", "resnet56"), ("ResNet56", "resnet56"), ("vgg", "vgg9")]
)
def test_unknown_network_is_refused_with_the_nearest_names(name, near):
    assert f"{near}," in refusal(name, CIFAR, 10)


def test_unknown_arguments_are_refused_with_the_valid_ones():
    message = refusal("mlp", (2,), 3, depth=4)
    assert "depth" in message
    assert "layers or width" in message
    assert "expected none" in refusal("resnet20", CIFAR, 10, name="x")


@pytest.mark.parametrize(
    ("args", "found"),
    [({"layers": 2.5}, "2.5"), ({"layers": -1}, "-1"), ({"width": True}, "True")],
)
def test_arguments_of_the_wrong_type_are_refused(args, found):
    assert found in refusal("mlp", (2,), 3, **args)


def test_samples_that_a_network_cannot_take_are_refused():
    assert "(2,)" in refusal("resnet56", (2,), 3)
    assert "8 x 8" in refusal("vgg9", (3, 7, 32), 3)
    assert "()" in refusal("logistic", (), 3)
