"""Every entry of the zoo, and the networks it is compared with; needs no torch.

The figures of an entry are not here: `python -m studies zoo` measures them, and they come from the
file it wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bicameral.errors import unknown_name

#: ``network``: trains from images. ``pool``: such a network that the cascade's pool has anyway.
#: ``head``: works on the features of a trained network. ``variant``: another form of an entry, to
#: compare it with. ``compared``: a part of the shipped cascade, measured beside the zoo.
Kind = Literal["network", "pool", "head", "variant", "compared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooEntry:
    """A classifier from the literature.

    Attributes:
        title: What it is, in a few words.
        kind: What it works on.
        paper: Title of the paper.
        arxiv: Number of the paper at arxiv.org.
        offers: What it can do that its accuracy does not show.
        published: The figure for FashionMNIST that its authors or others have published, with its
            source, and how that differs; empty where none was found.
        card: Path of its model card in the project.
    """

    title: str
    kind: Kind
    paper: str
    arxiv: str
    offers: str
    published: str
    card: str

    @property
    def paper_url(self) -> str:
        """Where the paper is."""
        return f"https://arxiv.org/abs/{self.arxiv}"


#: Entries by the name of what is trained, without data set and seed.
CATALOGUE: dict[str, ZooEntry] = {
    "dual_branch": ZooEntry(
        title="two small branches, 14,862 parameters",
        kind="pool",
        paper="Building Efficient Lightweight CNN Models",
        arxiv="2501.15547",
        offers="A first look where memory is scarce: 58 KB of weights.",
        published="89 % (abstract of the paper; branches trained apart, then joined)",
        card="docs/zoo/dual_branch.md",
    ),
    "group_to_group": ZooEntry(
        title="G2GNet: a perceptron whose groups of neurons rewire, 25 % of the weights",
        kind="network",
        paper="Neuro-inspired Ensemble-to-Ensemble Communication Primitives for Sparse and "
        "Efficient ANNs",
        arxiv="2508.14140",
        offers="A quarter of the weights of its dense twin, in blocks that save time.",
        published="up to 4.3 points above a dense MLP on FashionMNIST, CIFAR-10 or CIFAR-100 "
        "(abstract; no table for FashionMNIST was found)",
        card="docs/zoo/group_to_group.md",
    ),
    "convit": ZooEntry(
        title="ConViT-tiny: attention that starts as a convolution",
        kind="network",
        paper="ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases",
        arxiv="2103.10697",
        offers="Shows where each head looks, and how far its gate has opened.",
        published="",
        card="docs/zoo/convit.md",
    ),
    "moh_vit": ZooEntry(
        title="a vision transformer whose patches choose 2 of 4 heads beside 2 shared ones",
        kind="network",
        paper="MoH: Multi-Head Attention as Mixture-of-Head Attention",
        arxiv="2410.11842",
        offers="Says which heads each picture used, with every answer.",
        published="",
        card="docs/zoo/moh_vit.md",
    ),
    "uoe_vit": ZooEntry(
        title="a vision transformer whose heads choose patches and whose pictures choose experts",
        kind="network",
        paper="Union of Experts: Adapting Hierarchical Routing to Equivalently Decomposed "
        "Transformer",
        arxiv="2503.02495",
        offers="Computes half of each dense layer, and says which half each picture took.",
        published="",
        card="docs/zoo/uoe_vit.md",
    ),
    "spiking": ZooEntry(
        title="a convolutional network of leaky integrate-and-fire neurons, 4 time steps",
        kind="network",
        paper="Surrogate Gradient Learning in Spiking Neural Networks",
        arxiv="1901.09948",
        offers="Counts its spikes, by which neuromorphic hardware spends energy.",
        published="93.3 % (documentation of spikingjelly; 8 times the channels, 64 epochs, GPU)",
        card="docs/zoo/spiking.md",
    ),
    "monotone_boltzmann": ZooEntry(
        title="a deep Boltzmann machine with one fixed point, over pixels and label",
        kind="network",
        paper="Monotone deep Boltzmann machines",
        arxiv="2307.04990",
        offers="Answers for pictures of which a part is missing, and fills it in.",
        published="",
        card="docs/zoo/monotone_boltzmann.md",
    ),
    "noprop": ZooEntry(
        title="NoProp-DT: ten blocks that learn alone to denoise the label",
        kind="network",
        paper="NoProp: Training Neural Networks without Full Back-propagation or Full "
        "Forward-propagation",
        arxiv="2503.24322",
        offers="Answers after every block, so that it can stop where it is sure.",
        published="none in the paper; 90.6 % by another's re-implementation of its flow-matching "
        "variant (yhgon/NoProp, log of epoch 175; ResNet-18, GPU)",
        card="docs/zoo/noprop.md",
    ),
    "pgd_trained": ZooEntry(
        title="a small convolutional network trained on pictures that were changed to deceive it",
        kind="network",
        paper="Towards Deep Learning Models Resistant to Adversarial Attacks",
        arxiv="1706.06083",
        offers="Never saw a picture that was not changed to deceive it.",
        published="",
        card="docs/zoo/pgd_trained.md",
    ),
    "han": ZooEntry(
        title="a hybrid adversarial network: a classifier that makes pictures backwards",
        kind="network",
        paper="Bidirectional Learning for Robust Neural Networks",
        arxiv="1805.08006",
        offers="Makes pictures like those it learned from, with the classifier's own weights.",
        published="",
        card="docs/zoo/han.md",
    ),
    "kernel_head": ZooEntry(
        title="an infinitely deep and wide network, solved exactly, on another one's features",
        kind="head",
        paper="Wide and Deep Neural Networks Achieve Optimality for Classification",
        arxiv="2204.14126",
        offers="Exact: no training but one linear system, on the features of any network.",
        published="",
        card="docs/zoo/kernel_head.md",
    ),
    "read_out": ZooEntry(
        title="two memories of features beside another network; learns at run time",
        kind="head",
        paper="Dual Memory Networks: A Versatile Adaptation Approach for Vision-Language Models",
        arxiv="2403.17589",
        offers="Learns a class from a handful of pictures, at run time, also over HTTP.",
        published="",
        card="docs/zoo/read_out.md",
    ),
    "squeeze16_student": ZooEntry(
        title="fire modules, taught longer by wide_residual32; the cascade's A",
        kind="compared",
        paper="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters",
        arxiv="1602.07360",
        offers="Answers every image in the shipped cascade.",
        published="",
        card="docs/cascade.md",
    ),
    "squeeze16_distilled": ZooEntry(
        title="fire modules, distilled",
        kind="compared",
        paper="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters",
        arxiv="1602.07360",
        offers="Lends its features to the heads.",
        published="",
        card="docs/cascade.md",
    ),
    "vgg24_distilled": ZooEntry(
        title="plain 3x3 convolutions, distilled",
        kind="compared",
        paper="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        arxiv="1409.1556",
        offers="The plainest network of its accuracy, so that every runtime takes it.",
        published="",
        card="docs/cascade.md",
    ),
    "wide_residual32": ZooEntry(
        title="wide residual network; the cascade's B, and its reference",
        kind="compared",
        paper="Wide Residual Networks",
        arxiv="1605.07146",
        offers="The large single network that the cascade is measured against.",
        published="",
        card="docs/cascade.md",
    ),
    "cascade": ZooEntry(
        title="squeeze16_student, and where it is least sure wide_residual32",
        kind="compared",
        paper="Reducing inference energy consumption using dual complementary CNNs",
        arxiv="2412.01039",
        offers="Spends more only on images that need it; remembers results.",
        published="",
        card="docs/cascade.md",
    ),
}

CATALOGUE |= {
    "dense_mlp": replace(
        CATALOGUE["group_to_group"],
        title="the dense twin of group_to_group",
        kind="variant",
        offers="Shows what sparse connections cost and save.",
        published="",
    ),
    "dense_vit": replace(
        CATALOGUE["moh_vit"],
        title="the twin of moh_vit and uoe_vit in which nothing chooses",
        kind="variant",
        offers="Shows what choosing costs and gains.",
    ),
    "bidirectional": replace(
        CATALOGUE["han"],
        title="bidirectional learning: backwards a class becomes its pictures",
        kind="variant",
        offers="Shows what the discriminator of han adds.",
    ),
    "noprop_early_exit": replace(
        CATALOGUE["noprop"],
        title="noprop that stops after the first block where it is sure enough",
        kind="variant",
        offers="Runs as many blocks as a picture needs, behind the interface of a cascade.",
        published="",
    ),
    "read_out_projected": replace(
        CATALOGUE["read_out"],
        title="read_out with learned projections of the features",
        offers="Shows what learning the projections gains over a read-out without training.",
    ),
}


def entry(name: str) -> ZooEntry:
    """Return an entry.

    Raises:
        UserError: If there is none of that name; the message lists those that there are.
    """
    if name not in CATALOGUE:
        raise unknown_name("entry of the zoo", name, CATALOGUE)
    return CATALOGUE[name]
