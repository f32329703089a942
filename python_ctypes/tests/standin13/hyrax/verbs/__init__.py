from hyrax import _EARLIER

__path__.append(str(_EARLIER / "verbs"))
