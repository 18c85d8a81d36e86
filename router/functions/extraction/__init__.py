"""The extractor that needs no language model: typed values read out of what users say."""
