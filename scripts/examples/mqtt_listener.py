"""Print the events that `pocketsight run --log mqtt://HOST/home/door` sends to a broker. Needs the extra `mqtt`.

python scripts/examples/mqtt_listener.py HOST[:PORT] home/door
"""

import json
import sys
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion


def show(client: Client, data: object, message: MQTTMessage) -> None:
    event = json.loads(message.payload)
    if event["kind"] == "face":
        print(f"{event['time']} face {event['track_id']} {event['event']}: {event['label']}", flush=True)
    else:
        print(f"{event['time']} {event['event']} {'begins' if event['active'] else 'is over'}", flush=True)


def main(address: str, topic: str) -> None:
    def subscribe(client: Client, *details: Any) -> None:  # also after each reconnect
        client.subscribe(f"{topic}/event", qos=1)

    host, _, port = address.partition(":")
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = subscribe, show
    client.connect(host, int(port or 1883))
    client.loop_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
