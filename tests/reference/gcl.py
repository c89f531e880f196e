"""One step of GCL (Chen et al., CVPR 2021, section 3), a term and an image at a time.

Networks are black boxes; what is drawn, judged and contrasted with what is written out here.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from reid_gen.models.normalisation import frozen_running_stats


@dataclass
class Step:
    """The networks, the memory bank and the settings of a step.

    Attributes:
        identity: E_id.
        structure: E_str.
        decoder: G, which draws in colours normalised as E_id's input.
        judge: D.
        memory: M, unit rows [N, D].
        labels: Of its rows; -1 is an outlier.
        weights: Of all terms.
        rate: Of plain gradient descent.
        slow: What pictures are drawn by; None is E_id itself (GCL).
        ties_view: Whether the view's part features are tied too (the paper; not the release).
        live: Whether a view's own positive is f and not M_i (not the release).
        own_negatives: Whether f has negatives of its own (not the release).
        body_weight: How much a pixel on the body counts beside another one.
        penalty_every: Steps between penalties.
        statistics: Whether drawn pictures enter E_id's running statistics (the release).
    """

    identity: object
    structure: object
    decoder: object
    judge: object
    memory: torch.Tensor
    labels: list
    weights: dict
    rate: float
    temperature: float = 0.1
    momentum: float = 0.2
    slow: object = None
    ties_view: bool = True
    positive_from_batch: bool = True
    own_negatives: bool = True
    body_weight: float = 1.0
    penalty_every: int = 1
    statistics: bool = False

    def __call__(self, x, here, turned, mates, mates_of_view, background, joint):
        """Descend once with D, then with G and, when joint, E_id. Returns the terms by name."""
        drawing = self.slow or self.identity
        seen = self.identity.encode(x)
        by = self.slow.encode(x) if self.slow else seen
        with nullcontext() if self.statistics else frozen_running_stats(self.identity):
            rebuilt = self.draw(here, by.parts)
            of_rebuilt = drawing.encode(rebuilt)
            view = self.draw(turned, by.parts)
            of_view = drawing.encode(view)
            cycled = self.draw(here, of_view.parts)
            of_cycled = drawing.encode(cycled)
            f_new = (self.identity.encode(view.detach()) if self.slow else of_view).feature
        terms = self.judged(x, (rebuilt, view, cycled))
        self.descend(terms, self.judge)
        weight = [
            [[self.body_weight if any(p != background) else 1.0 for p in row] for row in columns]
            for columns in here.permute(0, 2, 3, 1)
        ]
        tied = [of_rebuilt, of_cycled, *([of_view] if self.ties_view else [])]
        made = {
            "image": self.distance(rebuilt, x, weight),
            "cycle": self.distance(cycled, x, weight),
            "feature": sum((e.parts - by.parts.detach()).abs().mean() for e in tied),
            "adversarial": sum(
                2 * ((said - 1) ** 2).mean()
                for y in (rebuilt, view, cycled)
                for said in self.judge(self.normalised(y))
            ),
        }
        if joint:
            made |= self.contrasted(seen.feature, f_new, mates, mates_of_view)
        self.descend(made, self.structure, self.decoder, *([self.identity] if joint else []))
        if joint:
            self.remember(seen.feature.detach())
        return {**terms, **made}

    def draw(self, maps, parts):
        """G(E_str(m), F), an image at a time; stripe j of the body drives block j."""
        drawn = [
            self.decoder(self.structure(m.unsqueeze(0)), F.T.unsqueeze(0))
            for m, F in zip(maps, parts, strict=True)
        ]
        return torch.cat(drawn) * self.identity.std + self.identity.mean

    def normalised(self, images):
        return (images - self.identity.mean) / self.identity.std

    def judged(self, x, fakes):
        """D's side, with the real images and the penalty once for every fake as in the release."""
        terms = dict.fromkeys(("fake", "real", "penalty"), 0.0)
        real = self.normalised(x)
        for y in fakes:
            terms["fake"] += sum((s**2).mean() for s in self.judge(self.normalised(y.detach())))
            terms["real"] += sum(((s - 1) ** 2).mean() for s in self.judge(real))
            for picture in real:
                alone = picture.unsqueeze(0).requires_grad_()
                for said in self.judge(alone):
                    (slope,) = torch.autograd.grad(said.sum(), alone, create_graph=True)
                    terms["penalty"] += self.penalty_every * (slope**2).sum() / len(real)
        return terms

    def distance(self, drawn, x, weight):
        """Mean absolute difference of normalised pixels, each by its weight."""
        error = (self.normalised(drawn) - self.normalised(x)).abs().mean(dim=1)
        weight = torch.tensor(weight)
        return (weight * error).sum() / weight.sum()

    def contrasted(self, f, f_new, mates, mates_of_view):
        """GCL's three pair terms, each the mean over the images of the batch."""
        terms = dict.fromkeys(("view_instance", "view_cluster", "real_cluster"), 0.0)
        M = self.memory
        for i, label in enumerate(self.labels[: len(f)]):
            others = [n for n, y in enumerate(self.labels) if n != i and (y != label or y == -1)]

            def pair(anchor, positive, pushed, others=others):
                own = torch.exp(anchor @ positive / self.temperature)
                against = sum(torch.exp(pushed @ M[n] / self.temperature) for n in others)
                return -torch.log(own / (own + against)) / len(f)

            itself = f[i] if self.positive_from_batch else M[i]
            pushed = f[i] if self.own_negatives else f_new[i]
            terms["view_instance"] += pair(f_new[i], itself, f_new[i])
            terms["view_cluster"] += pair(f_new[i], M[mates_of_view[i]], f_new[i])
            terms["real_cluster"] += pair(f[i], M[mates[i]], pushed)
        return terms

    def remember(self, f):
        """Equation 5: the real images' features alone enter the memory."""
        for i, z in enumerate(f):
            mixed = self.momentum * self.memory[i] + (1 - self.momentum) * z
            self.memory[i] = mixed / mixed.norm()

    def descend(self, terms, *networks):
        """Step down the weighted sum of the terms."""
        learnt = [p for network in networks for p in network.parameters() if p.requires_grad]
        total = sum(self.weights[name] * value for name, value in terms.items())
        slopes = torch.autograd.grad(total, learnt, retain_graph=True, allow_unused=True)
        with torch.no_grad():
            for parameter, slope in zip(learnt, slopes, strict=True):
                if slope is not None:
                    parameter -= self.rate * slope
