"""Late interaction: a query's tokens against every passage's, best match by best match."""

from .op import maxsim as maxsim
