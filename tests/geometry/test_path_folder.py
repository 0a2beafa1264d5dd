"""A folder of a training path: the checkpoints are taken, what lies beside them is named."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.trajectory.rows import PathRows, checkpoint_files


def network(seed):
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def center():
    return {name: p.detach().double().numpy() for name, p in network(0).named_parameters()}


def optimizer_state():
    model = network(0)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def rows_of(files):
    return [row.tolist() for row in PathRows(files, center())]


def explicit(count):
    weights = [
        torch.cat([p.detach().double().ravel() for p in network(k).parameters()])
        for k in range(count)
    ]
    return [(w - weights[0]).tolist() for w in weights]


@pytest.mark.parametrize("ending", ["pt", "ckpt", "bin", "pth.tar", "pkl"])
def test_optimizer_states_beside_the_checkpoints_are_left_out_by_name(tmp_path, caplog, ending):
    caplog.set_level("INFO")
    for k in range(3):
        torch.save({"state_dict": network(k).state_dict()}, tmp_path / f"model_{k}.{ending}")
        torch.save(optimizer_state(), tmp_path / f"optimizer_{k}.{ending}")
    rng = {"cpu": torch.get_rng_state(), "python": (3, (1, 2), None)}
    torch.save(rng, tmp_path / f"rng_state.{ending}")
    torch.save({"base_lrs": [0.1], "last_epoch": 3}, tmp_path / f"scheduler.{ending}")
    (tmp_path / "log.txt").write_text("epoch 1")
    files = checkpoint_files(tmp_path)
    assert [file.name for file in files] == [f"model_{k}.{ending}" for k in range(3)]
    assert rows_of(files) == explicit(3)
    told = [r.message for r in caplog.records if "left out" in r.message]
    assert len(told) == 1
    assert f"optimizer_0.{ending}" in told[0]
    assert f"optimizer_2.{ending}, rng_state.{ending} and 1 more" in told[0]


def test_saved_state_of_a_training_is_no_checkpoint_of_the_path(tmp_path):
    save_file(network(1).state_dict(), tmp_path / "net.safetensors")
    state = {f"model/{k}": v for k, v in network(1).state_dict().items()}
    state |= {f"optimizer/{k}/step": torch.ones(1) for k in range(5)}
    save_file(state, tmp_path / "net_state.safetensors")
    assert [file.name for file in checkpoint_files(tmp_path)] == ["net.safetensors"]


def test_usual_endings_are_taken_before_others(tmp_path):
    save_file(network(1).state_dict(), tmp_path / "a.safetensors")
    torch.save(network(2).state_dict(), tmp_path / "b.ckpt")
    assert [file.name for file in checkpoint_files(tmp_path)] == ["a.safetensors"]


def test_a_damaged_checkpoint_is_not_left_out(tmp_path):
    for k in range(2):
        torch.save(network(k).state_dict(), tmp_path / f"{k}.pt")
    content = (tmp_path / "1.pt").read_bytes()
    (tmp_path / "1.pt").write_bytes(content[:200])
    files = checkpoint_files(tmp_path)
    assert len(files) == 2
    with pytest.raises(UserError, match=r"1\.pt .*cut short"):
        rows_of(files)


def test_folder_without_checkpoints_is_refused(tmp_path):
    (tmp_path / "metrics.pkl").write_bytes(pickle.dumps({"loss": [1.0]}, protocol=2))
    torch.save(optimizer_state(), tmp_path / "optimizer.pt")
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint_files(tmp_path)


def test_prefixes_and_parts_of_a_paths_checkpoints_are_taken_off(tmp_path):
    for k in range(2):
        state = {f"model.{name}": tensor for name, tensor in network(k).state_dict().items()}
        torch.save({"state_dict": state, "epoch": k}, tmp_path / f"epoch={k}.ckpt")
    assert rows_of(checkpoint_files(tmp_path)) == explicit(2)


def test_of_two_networks_in_each_checkpoint_the_study_says_which(tmp_path):
    for k in range(2):
        both = {"model": network(k).state_dict(), "ema": network(k + 5).state_dict()}
        torch.save(both, tmp_path / f"{k}.pt")
    files = checkpoint_files(tmp_path)
    with pytest.raises(UserError, match="checkpoint_key"):
        rows_of(files)
    rows = PathRows(files, center(), key="model")
    assert [row.tolist() for row in rows] == explicit(2)
