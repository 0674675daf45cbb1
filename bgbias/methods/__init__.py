"""One file per method; each defines one `Method`. `a+b` combines methods."""

from bgbias.components import Registry
from bgbias.methods.combined import SEPARATOR, combined
from bgbias.methods.method import Method


class Methods(Registry[Method]):
    """The methods by name, and their combinations."""

    def find(self, name: str) -> type[Method]:
        """The method called `name`, or the combination of several with `+` between.

        Raises:
            UnknownNameError: there is none.
            SettingError: they cannot be combined.
        """
        if SEPARATOR not in name:
            return super().find(name)
        return combined(tuple(super(Methods, self).find(part) for part in name.split(SEPARATOR)))


methods = Methods("method", __name__, Method)
