"""A verb that looks its names up when it runs."""


def infer(config, result_dir, batches):
    from hyrax.datasets.result_factories import create_results_writer, load_results_dataset

    writer = create_results_writer(result_dir)
    for ids, tensors in batches:
        writer.write_batch(ids, tensors)
    writer.commit()
    return load_results_dataset(config, result_dir)
