"""A stand-in for a broker in tests about something else."""


class FakePublisher:
    """Keeps what it is given, and refuses what `refuse` names, as {message_id: reason}."""

    def __init__(self):
        self.published = []
        self.refuse = {}

    def publish(self, batch):
        self.published += [message for message in batch if message.message_id not in self.refuse]
        return {m.message_id: self.refuse[m.message_id] for m in batch if m.message_id in self.refuse}
