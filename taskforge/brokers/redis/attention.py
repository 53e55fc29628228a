"""A worker's ear on Redis: the pub/sub channel of its name."""

from __future__ import annotations

from taskforge.brokers.redis.channel import Channel


class RedisAttention:
    """See taskforge.brokers.register.Attention for what each method promises."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._looked = 0

    def listen(self, timeout: float) -> list[str]:
        self._channel.renew()
        if not self._channel.begin():
            return []
        if self._channel.begun != self._looked:
            self._looked = self._channel.begun
            return [""]
        return self._channel.listen(timeout)

    def close(self) -> None:
        self._channel.close()
