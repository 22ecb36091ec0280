"""The worker processes of one server, among themselves: questions, orders and agreement."""

from serving.peers.peers import Answer, Peers

__all__ = ["Answer", "Peers"]
