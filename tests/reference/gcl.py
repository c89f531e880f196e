"""One step of GCL (Chen et al., CVPR 2021, section 3), a term and an image at a time.

Networks are black boxes; generation and losses are written out.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from reid_gen.models.normalisation import frozen_running_stats


@dataclass
class ReferenceStep:
    """Networks, memory bank and settings of a step.

    Attributes:
        identity: Identity encoder E_id.
        structure: Structure encoder E_str.
        decoder: Decoder G, whose output is normalised as the input of E_id.
        discriminator: Discriminator D.
        memory: Memory bank M, unit rows [N, D].
        labels: Pseudo labels of the rows; -1 is an outlier.
        weights: Weights of all terms.
        learning_rate: Learning rate of plain gradient descent.
        temperature: Temperature of the contrastive terms.
        momentum: Momentum of the memory bank.
        ema: EMA encoder that generation uses; None uses E_id itself (GCL).
        feature_of_view: Whether the feature term includes the view (the paper; not the release).
        positive_from_batch: Whether the positive of a view is f and not M_i (not the release).
        own_negatives: Whether f has negatives of its own (not the release).
        body_weight: Weight of a pixel on the body, relative to the background.
        penalty_every: Steps between gradient penalties.
        generated_statistics: Whether generated images enter E_id's running statistics (the
            release).
    """

    identity: object
    structure: object
    decoder: object
    discriminator: object
    memory: torch.Tensor
    labels: list
    weights: dict
    learning_rate: float
    temperature: float = 0.1
    momentum: float = 0.2
    ema: object = None
    feature_of_view: bool = True
    positive_from_batch: bool = True
    own_negatives: bool = True
    body_weight: float = 1.0
    penalty_every: int = 1
    generated_statistics: bool = False

    def __call__(self, x, unturned, turned, mates, view_mates, background, joint):
        """Update D, then G and, if joint, E_id; return all terms by name."""
        encoder = self.ema or self.identity
        real = self.identity.encode(x)
        source = self.ema.encode(x) if self.ema else real
        keep_statistics = frozen_running_stats(self.identity)
        with nullcontext() if self.generated_statistics else keep_statistics:
            x_rec = self.generate(unturned, source.parts)
            rec = encoder.encode(x_rec)
            x_view = self.generate(turned, source.parts)
            view = encoder.encode(x_view)
            x_cyc = self.generate(unturned, view.parts)
            cyc = encoder.encode(x_cyc)
            f_view = (self.identity.encode(x_view.detach()) if self.ema else view).feature
        fakes = (x_rec, x_view, x_cyc)
        terms = self.discriminator_terms(x, fakes)
        self.descend(terms, self.discriminator)
        weight = [
            [[self.body_weight if any(p != background) else 1.0 for p in row] for row in columns]
            for columns in unturned.permute(0, 2, 3, 1)
        ]
        encoded = [rec, cyc, *([view] if self.feature_of_view else [])]
        generator_terms = {
            "image": self.distance(x_rec, x, weight),
            "cycle": self.distance(x_cyc, x, weight),
            "feature": sum((e.parts - source.parts.detach()).abs().mean() for e in encoded),
            "adversarial": sum(
                2 * ((scores - 1) ** 2).mean()
                for fake in fakes
                for scores in self.discriminator(self.normalise(fake))
            ),
        }
        if joint:
            generator_terms |= self.contrastive_terms(real.feature, f_view, mates, view_mates)
        trained = [self.structure, self.decoder, *([self.identity] if joint else [])]
        self.descend(generator_terms, *trained)
        if joint:
            self.update_memory(real.feature.detach())
        return {**terms, **generator_terms}

    def generate(self, maps, parts):
        """G(E_str(m), F), an image at a time; stripe j of the body drives block j."""
        images = [
            self.decoder(self.structure(m.unsqueeze(0)), F.T.unsqueeze(0))
            for m, F in zip(maps, parts, strict=True)
        ]
        return torch.cat(images) * self.identity.std + self.identity.mean

    def normalise(self, images):
        return (images - self.identity.mean) / self.identity.std

    def discriminator_terms(self, x, fakes):
        """D's losses; as in the release, real images and penalty count once for every fake."""
        terms = dict.fromkeys(("fake", "real", "penalty"), 0.0)
        real = self.normalise(x)
        for y in fakes:
            fake = self.normalise(y.detach())
            terms["fake"] += sum((s**2).mean() for s in self.discriminator(fake))
            terms["real"] += sum(((s - 1) ** 2).mean() for s in self.discriminator(real))
            for image in real:
                single = image.unsqueeze(0).requires_grad_()
                for scores in self.discriminator(single):
                    (gradient,) = torch.autograd.grad(scores.sum(), single, create_graph=True)
                    terms["penalty"] += self.penalty_every * (gradient**2).sum() / len(real)
        return terms

    def distance(self, generated, x, weight):
        """Weighted mean absolute difference of normalised pixels."""
        error = (self.normalise(generated) - self.normalise(x)).abs().mean(dim=1)
        weight = torch.tensor(weight)
        return (weight * error).sum() / weight.sum()

    def contrastive_terms(self, f, f_view, mates, view_mates):
        """GCL's three pair terms, each the mean over the images of the batch."""
        terms = dict.fromkeys(("view_instance", "view_cluster", "real_cluster"), 0.0)
        M = self.memory
        for i, label in enumerate(self.labels[: len(f)]):
            negatives = [n for n, y in enumerate(self.labels) if n != i and (y != label or y == -1)]

            def pair(anchor, positive, query, negatives=negatives):
                numerator = torch.exp(anchor @ positive / self.temperature)
                against = sum(torch.exp(query @ M[n] / self.temperature) for n in negatives)
                return -torch.log(numerator / (numerator + against)) / len(f)

            f_positive = f[i] if self.positive_from_batch else M[i]
            query = f[i] if self.own_negatives else f_view[i]
            terms["view_instance"] += pair(f_view[i], f_positive, f_view[i])
            terms["view_cluster"] += pair(f_view[i], M[view_mates[i]], f_view[i])
            terms["real_cluster"] += pair(f[i], M[mates[i]], query)
        return terms

    def update_memory(self, f):
        """Equation 5, with features of real images only."""
        for i, z in enumerate(f):
            blended = self.momentum * self.memory[i] + (1 - self.momentum) * z
            self.memory[i] = blended / blended.norm()

    def descend(self, terms, *networks):
        """Take a gradient step on the weighted sum of the terms."""
        parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
        loss = sum(self.weights[name] * value for name, value in terms.items())
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter -= self.learning_rate * gradient
