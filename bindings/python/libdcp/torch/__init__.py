"""libdcp in a PyTorch job. Import it by name: ``libdcp`` itself never imports torch."""

from ._communicator import StoreCommunicator, communicator

__all__ = ["StoreCommunicator", "communicator"]
