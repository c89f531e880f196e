from reid_gen.config.dump import dump_config
from reid_gen.engine.journal import read_metrics
from reid_gen.engine.run import start_run
from tests.data.real_format import make_market
from tests.engine.small import experiment, write_config


def test_training_without_labels_raises_map_above_the_untrained_encoder(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data", people=12, each=9))
    made, settings = experiment(
        config,
        *("stages.0.epochs=3", "stages.0.iterations=12", "sampler.batch=32"),
        *("clustering.k1=10", "clustering.k2=4", "clustering.eps.value=0.7"),
    )
    run = settings.runs / settings.name
    start_run(made, run, dump_config(settings))
    records = read_metrics(run)
    assert records[-1]["mAP"] > records[0]["mAP"] + 0.1
