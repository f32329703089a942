"""A plugin of pytest: the tests of Hyrax itself, over our results layer."""

import rds.hyrax

rds.hyrax.enable()
