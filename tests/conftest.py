"""How many examples the property tests try: `--hypothesis-profile=nightly` tries twenty times as many.

What says its own number of examples keeps it. What does not (the tests of whole sessions) goes by the profile.
"""

from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["pytester"]  # for the tests of our own plugin

# No deadlines: how long one example takes says something about the machine, and nothing about the code.
settings.register_profile("ordinary", deadline=None, max_examples=100)
settings.register_profile("nightly", deadline=None, max_examples=2000)
# For a run per mutant (tests/MUTATION.md): the same few examples each time, and the first failure is enough.
settings.register_profile(
    "mutation",
    deadline=None,
    max_examples=20,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("ordinary")
