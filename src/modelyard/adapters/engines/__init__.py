"""Engines that run pipelines over sets: this process, Spark, Ray; see `prepare.engine`."""
