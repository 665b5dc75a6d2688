"""The gateway: hears the nodes, verifies and logs what they say, and publishes it on MQTT."""
