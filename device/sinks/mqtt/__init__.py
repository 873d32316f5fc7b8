"""The MQTT sink: events, state and Home Assistant discovery."""
