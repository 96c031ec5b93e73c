"""Turns Apache Kafka's message schemas (``specs/``) into the Python package ``kafka_protocol`` (``generated/``)."""
