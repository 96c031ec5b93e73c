"""Owns: how the objects of a broker meet: settings -> stores -> services -> handlers -> dispatch -> server.
Must never know: how any of them works.

This package is the one place that names every class. What a start does not need is imported and built when it is first
asked for - services, handlers and the messages of their APIs - and otherwise in a quiet moment soon after.
"""

from kafka_server.bootstrap.broker import Broker

__all__ = ["Broker"]
