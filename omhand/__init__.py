"""Omhand (*ta om hand*, take care of): a region's case routine as software that cannot forget."""
