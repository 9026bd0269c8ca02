"""causalign compares neural networks by what their representations do.

    alignment = causalign.align([a.site("hidden"), b.site("hidden")], variable="full", method="mas", rank=16, seed=0)

finds in each frozen network the subspace that carries a variable, swaps its contents between the networks, and says how
often each then behaves as if the information had been its own (interchange intervention accuracy, `alignment.iia`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
