"""A ResNet of torchvision's own blocks, searched on handwritten digits: the second convolution of each."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet, conv1x1, conv3x3

from foresight_ext import MixedOp, zero_cost_pt


def resnet():
    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)
    network.conv1, network.maxpool = conv3x3(1, 64), nn.Identity()  # for images of 1 x 8 x 8
    for block in list(network.modules()):
        if isinstance(block, BasicBlock):
            width = block.conv2.out_channels
            candidates = {"conv3x3": conv3x3(width, width), "conv1x1": conv1x1(width, width)}
            candidates |= {"depthwise": conv3x3(width, width, groups=width), "skip": nn.Identity()}
            block.conv2 = MixedOp(candidates)
    return network


pixels, labels = load_digits(return_X_y=True)
images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
half = {"params": "50%"}  # of the largest network's parameters
found = zero_cost_pt(resnet, (images, torch.tensor(labels)), pool_size=3, validate_rounds=5, at_most=half)

network = found.network()  # plain PyTorch, to be trained, saved and exported
print(found.draw())
print(f"{found}\n{sum(weight.numel() for weight in network.parameters()):,} parameters")
