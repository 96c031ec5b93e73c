"""A Kafka-compatible broker whose wire protocol is generated from Apache Kafka's message schemas."""

__version__ = "0.1.0"
